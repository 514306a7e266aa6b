"""Read by Django, because ``FORMAT_MODULE_PATH`` names the package."""

DATETIME_FORMAT = "Y-m-d H:i:s"
DATE_FORMAT = "Y-m-d"
