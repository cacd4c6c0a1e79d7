"""What `overlayctl netcheck` looks at (host, controller, the way out over UDP), and what is made of it."""
