from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User

from curfew_session.revocation.admin import sign_out_everywhere

admin.site.unregister(User)


@admin.register(User)
class SiteUserAdmin(UserAdmin):
    actions = [sign_out_everywhere]
