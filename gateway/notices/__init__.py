"""Notices as texts and mails: templates, their rendering (Jinja2, BSD-3-Clause), and the way to a mail server."""
