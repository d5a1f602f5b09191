"""Ways to sign in: none, at a proxy, at a load balancer, at an OpenID provider."""
