from django.contrib import admin

from .models import end_sessions


@admin.action(description="Sign out everywhere", permissions=["change"])
def sign_out_everywhere(modeladmin, request, queryset):
    """An action for the project's UserAdmin."""
    for user in queryset:
        end_sessions(user)
    modeladmin.message_user(request, f"Signed out everywhere: {len(queryset)}.")
