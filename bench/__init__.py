"""Measurements: one seeded database, the real service over loopback, figures beside their goals.

Run by `./dev bench`, never by a test: nothing here asserts a time. `seeding` makes the database by the kernel's own act
path, `ground` the place it lies in and the service on it, `load` the requests, `statements` counts SQL, `pages` says
what is measured, `report` tells it.
"""
