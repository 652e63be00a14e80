"""What drives a dialect over a socket: the clients, and the replies they give."""
