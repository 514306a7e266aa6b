"""The Django app of the admin, with Sentinel's site in place of Django's."""

from django.contrib.admin.apps import AdminConfig


class SentinelAdminConfig(AdminConfig):
    """What ``django.contrib.admin.site`` is, and where model admins are registered."""

    default_site = "sentinel.admin_site.SentinelAdminSite"
