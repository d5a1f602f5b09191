# The web console. It is off unless an environment gives it a value. modules/console checks the value.

variable "console" {
  description = "The web console behind an internal load balancer. Null leaves it out. README.md describes each attribute. It needs existing_vpc."
  type = object({
    # Its address in browsers, the certificate for that name, and the networks that people come from.
    public_url      = string
    certificate_arn = string
    client_cidrs    = list(string)

    # The OpenID provider. The secret is in Secrets Manager.
    oidc = object({
      issuer            = string
      client_id         = string
      client_secret_arn = string
      scopes            = optional(string, "openid email profile")
    })

    # With these endpoints, the load balancer signs people in instead of the console.
    alb = optional(object({
      authorization_endpoint = string
      token_endpoint         = string
      user_info_endpoint     = string
    }))

    # Rights by login and by group: viewer, reviewer, admin, sql. There are none by default.
    login_rights = optional(map(list(string)), {})
    group_rights = optional(map(list(string)), {})

    # Other settings of the console: docs/settings.md.
    settings = optional(map(string), {})

    # How many tasks, and the size of each in CPU units and MiB.
    tasks  = optional(number, 2)
    cpu    = optional(number, 512)
    memory = optional(number, 1024)
  })
  default = null

  validation {
    condition     = var.console == null || var.existing_vpc != null
    error_message = "console needs existing_vpc: the environment's own VPC has no way in for people, and no way out to the identity provider."
  }
}
