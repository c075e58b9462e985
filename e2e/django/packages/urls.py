from django.contrib.auth.decorators import login_required
from django.urls import path
from django.views.generic import TemplateView

from mysite.urls import urlpatterns as site

from . import views

urlpatterns = [
    path("accounts/login/", views.LoginView.as_view(), name="login"),
    path("remember/", views.remember, name="remember"),
    path("state/", login_required(TemplateView.as_view(template_name="state.html")), name="state"),
    path("media/picture", views.media),
    *site,
]
