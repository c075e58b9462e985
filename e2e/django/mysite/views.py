from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth import get_user_model
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.messages.views import SuccessMessageMixin
from django.http import JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.views.decorators.http import require_POST
from django.views.generic import UpdateView


class RememberMeForm(AuthenticationForm):
    remember_me = forms.BooleanField(required=False)


class RememberMeLoginView(auth_views.LoginView):
    form_class = RememberMeForm

    def form_valid(self, form):
        response = super().form_valid(form)
        if form.cleaned_data["remember_me"]:
            self.request.session.set_expiry(settings.REMEMBER_ME_AGE)
        else:
            self.request.session.set_expiry(None)
        return response


class PasswordChangeView(SuccessMessageMixin, auth_views.PasswordChangeView):
    template_name = "form.html"
    success_message = "Your password was changed."
    success_url = reverse_lazy("profile")


class ProfileView(LoginRequiredMixin, SuccessMessageMixin, UpdateView):
    model = get_user_model()
    fields = ["first_name", "last_name"]
    template_name = "form.html"
    success_message = "Your profile was saved."
    success_url = reverse_lazy("profile")

    def get_object(self):
        return self.request.user


@require_POST
def theme(request):
    """Open to everybody: Django then begins a session that nobody is logged in to."""
    request.session["theme"] = "dark" if request.POST.get("theme") == "dark" else "light"
    messages.info(request, "The theme was changed.")
    return redirect("home")


@staff_member_required(login_url="login")
def staff(request):
    users = get_user_model().objects.order_by("username")
    return render(request, "staff.html", {"users": users})


@login_required
def me(request):
    return JsonResponse({"username": request.user.get_username(), "staff": request.user.is_staff})
