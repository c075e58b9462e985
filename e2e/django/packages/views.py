from django.conf import settings
from django.contrib.auth import views as auth_views
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from mysite.views import RememberMeForm


def keep(request, persistent):
    """Makes the session persistent or browser-length, in the way of the set-up at hand."""
    if key := getattr(settings, "PERSISTENT_SESSION_KEY", ""):
        request.session[key] = persistent
    else:
        request.session.set_expiry(settings.REMEMBER_ME_AGE if persistent else None)


class LoginView(auth_views.LoginView):
    form_class = RememberMeForm

    def form_valid(self, form):
        response = super().form_valid(form)
        keep(self.request, form.cleaned_data["remember_me"])
        return response


@require_POST
def remember(request):
    """The Remember Me box, later."""
    keep(request, request.POST.get("remember_me") == "on")
    return redirect("state")


def media(request):
    return HttpResponse("a picture", content_type="text/plain")
