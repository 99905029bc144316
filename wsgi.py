"""gunicorn's entry: the service, built from the environment."""

from referrals.app import create_app

app = create_app()
