r"""Handlers that come with Millstream; each module is an app of its own.

    millstream worker --app millstream.consumers.builtin.data \
                      --app millstream.consumers.builtin.email

They read their settings (`MILLSTREAM_DATA_DIR`, `MILLSTREAM_SMTP_…`) when the first job comes.
"""
