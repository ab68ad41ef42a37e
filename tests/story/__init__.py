"""The story of `make run`: real people through two stations, told line by line."""
