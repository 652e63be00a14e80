"""What can be seen of the machine, the project and the server."""
