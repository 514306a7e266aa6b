"""The admin as a site: who may come in, and how one signs in."""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

import structlog
from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.admin.exceptions import (
    DisallowedModelAdminLookup,
    DisallowedModelAdminToField,
)
from django.contrib.auth import get_user
from django.contrib.auth.views import PasswordChangeView
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.cache import patch_cache_control

from sentinel.access.signing_in import OwnPasswordForm, SignInForm
from sentinel.client_address import network_of
from sentinel.pages import error_page

log = structlog.get_logger(__name__)


class SentinelAdminSite(AdminSite):
    """Django's site, which counts attempts to sign in and leaves recording to the audit."""

    site_title = "Sentinel"
    site_header = "Sentinel"
    index_title = "What is watched"
    site_url = None
    index_template = "admin/overview.html"
    login_form = SignInForm

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        """Return a page's view, which answers an address that nobody was led to by 400."""

        @wraps(view)
        def answered(request: HttpRequest, *args: Any, **values: Any) -> Any:
            asked = (request.path, *(text for pair in request.GET.lists() for text in pair[1]))
            if any("\0" in text for text in asked):
                # PostgreSQL has no text with one: whatever is looked up by it fails there.
                return _not_an_address(request, "It holds the character NUL: take it out.")
            try:
                return view(request, *args, **values)
            except (DisallowedModelAdminLookup, DisallowedModelAdminToField) as error:
                return _not_an_address(request, f"{error}. Use the filters beside the list.")

        return super().admin_view(answered, cacheable)

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:
        """Let users change their own password."""
        view = PasswordChangeView.as_view(
            form_class=OwnPasswordForm,
            template_name="registration/password_change_form.html",
            success_url=reverse("admin:password_change_done", current_app=self.name),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        return cast("TemplateResponse", view(request))

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Sign in; who tried too often is told when to try again, by 429."""
        response = super().login(request, extra_context)
        if request.method != "POST":
            return response
        address = network_of(request)
        if not isinstance(response, TemplateResponse):
            # No row is made but here, so here those that are over go, and none pile up.
            SessionStore.clear_expired()
            log.info("signed in", user=get_user(request).get_username(), address=address)
            return response
        context = response.context_data or {}
        form: SignInForm = context["form"]
        # Not the name that was typed: it may be a password, in the wrong field.
        log.warning("sign-in refused", address=address, throttled=form.retry_after is not None)
        if form.retry_after is not None:
            _say_whose_proxy(request)
            response.status_code = 429
            response["Retry-After"] = str(form.retry_after)
        patch_cache_control(response, no_store=True)
        return response


def _say_whose_proxy(request: HttpRequest) -> None:
    """Tell the operator where people may be shut out by each other, behind one address."""
    if "X-Forwarded-For" in request.headers and not settings.SENTINEL_TRUSTED_PROXIES:
        log.warning(
            "whoever comes by this proxy is counted as one: name it in SENTINEL_TRUSTED_PROXIES",
            proxy=request.META.get("REMOTE_ADDR"),
        )


def _not_an_address(request: HttpRequest, words: str) -> HttpResponse:
    return error_page(request, 400, "This address leads nowhere", words)
