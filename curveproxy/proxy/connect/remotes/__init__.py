"""The remotes of an egress: CURVE servers, how each is greeted, and how it is learned which key it has."""
