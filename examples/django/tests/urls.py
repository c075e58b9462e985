from django.contrib import admin
from django.urls import include, path

from curfew_session.revocation.views import revoked

urlpatterns = [
    path("curfew/revoked", revoked),
    path("admin/", admin.site.urls),
    path("accounts/", include("django.contrib.auth.urls")),
]
