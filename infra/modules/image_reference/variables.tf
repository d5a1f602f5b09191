variable "repository_name" {
  description = "Name of the ECR repository."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]+([._/-][a-z0-9]+)*$", var.repository_name))
    error_message = "repository_name must be the name of an ECR repository, such as retinue."
  }
}

variable "tag" {
  description = "Tag of the container image; its variants for CUDA and for ARM64 have the same with -cuda and -arm64. Not needed with uri."
  type        = string
  default     = null

  validation {
    condition     = var.tag == null || can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,120}$", var.tag))
    error_message = "The image tag must be letters, digits, dots, hyphens and underscores, such as 1.4.0 or a commit."
  }

  validation {
    condition     = var.tag != "latest"
    error_message = "The image tag must not be latest: what latest means changes."
  }
}

variable "uri" {
  description = "Image of another registry, with tag or digest; overrides tag."
  type        = string
  default     = null

  validation {
    condition     = var.uri == null || can(regex("(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9_.-]*)$", var.uri))
    error_message = "The image must name a digest or a tag."
  }
}

variable "cuda" {
  description = "Whether the CUDA variant is needed."
  type        = bool
  default     = false
}

variable "arm64" {
  description = "Whether images.cpu is the variant for ARM64."
  type        = bool
  default     = false
}
