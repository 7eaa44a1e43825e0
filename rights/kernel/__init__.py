"""The rules of the field in pure Python: no Django, no Celery, no clock of its own."""
