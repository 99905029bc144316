"""What every room needs and no room owns.

Rows, keys, actors, commands, looks, jobs, and the web's side of them. Imports no room.
"""
