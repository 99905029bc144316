"""What every room of the house needs and no room owns: rows, keys, actors, commands, looks, jobs, and the web's side of them."""
