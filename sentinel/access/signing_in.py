"""Signing in with a user's name and password, and how often that may be tried."""

import unicodedata
from typing import Any, Final

from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.utils.crypto import salted_hmac

from domains.clock import database_now
from sentinel.access import users
from sentinel.client_address import network_of
from sentinel.throttling import throttle

PER_NAME: Final = 5
"""Attempts in a minute for one name from one network. Nobody can lock a user out from elsewhere."""

PER_NETWORK: Final = 20
"""Attempts in a minute from one network, whatever the names."""


class SignInForm(AdminAuthenticationForm):
    """Name and password; ``retry_after`` says in how many seconds, where it was tried too often."""

    retry_after: int | None = None

    def clean(self) -> dict[str, Any]:
        """Check the password, unless there were too many attempts."""
        name = self.cleaned_data.get("username") or ""
        assert self.request is not None
        self.retry_after = login_allowed(network_of(self.request), name)
        if self.retry_after is not None:
            words = f"Too many attempts to sign in: try again in {self.retry_after} s."
            raise ValidationError(words, code="throttled")
        return super().clean()


class OwnPasswordForm(AdminPasswordChangeForm):
    """The page on which users change their own password; the audit has it."""

    def clean_old_password(self) -> str:
        """Check the present password, unless it was tried too often: a session can be stolen."""
        allowance = throttle().take_surely("sign-in", f"own password {self.user.pk}", PER_NAME)
        if allowance is not None and not allowance.allowed:
            words = f"Too many attempts: try again in {allowance.seconds} s."
            raise ValidationError(words, code="throttled")
        return super().clean_old_password()

    def save(self, commit: bool = True) -> User:
        """Store the new password."""
        user = self.user
        assert isinstance(user, User)
        users.set_password(
            user, self.cleaned_data["new_password1"], by=users.actor_of(user), now=database_now()
        )
        return user


def login_allowed(network: str, name: str) -> int | None:
    """Count an attempt to sign in; return None if it may be made, else the seconds to wait.

    Counted before the password is looked at, so that attempts made at once count too. Where
    Redis does not answer, each process counts those that it sees.
    """
    # Not the name itself: it may be a password, typed into the wrong field.
    person = salted_hmac("sentinel.sign-in", unicodedata.normalize("NFKC", name).casefold())
    for who, quota in ((f"{network} {person.hexdigest()}", PER_NAME), (network, PER_NETWORK)):
        allowance = throttle().take_surely("sign-in", who, quota)
        if allowance is not None and not allowance.allowed:
            return allowance.seconds
    return None
