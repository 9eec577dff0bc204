"""Two established peers, and the octets between them."""
