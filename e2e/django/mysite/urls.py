from django.conf import settings
from django.contrib.auth import views as auth_views
from django.urls import path
from django.views.generic import TemplateView
from django.views.static import serve

from . import views

urlpatterns = [
    path("", TemplateView.as_view(template_name="home.html"), name="home"),
    path("about/", TemplateView.as_view(template_name="about.html"), name="about"),
    path("theme/", views.theme, name="theme"),
    path("profile/", views.ProfileView.as_view(), name="profile"),
    path("staff/", views.staff, name="staff"),
    path("api/me/", views.me, name="me"),
    path("accounts/login/", views.RememberMeLoginView.as_view(), name="login"),
    path("accounts/logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("accounts/password_change/", views.PasswordChangeView.as_view(), name="password_change"),
    path("static/<path:path>", serve, {"document_root": settings.BASE_DIR / "static"}),
]
