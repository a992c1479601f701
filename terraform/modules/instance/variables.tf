variable "issuer" {
  description = "URL of the service, which every Receipt names. It is fixed when the log is made."
  type        = string
  validation {
    condition     = can(regex("^https://[a-z0-9][a-z0-9.-]*[a-z0-9](/[A-Za-z0-9._~-]+)*$", var.issuer))
    error_message = "The issuer is an https URL without a port, a query and a slash at its end, such as https://transparency.example."
  }
}

variable "program" {
  description = "Where conmotiond for this machine is downloaded, and its SHA-256."
  type        = object({ url = string, sha256 = string })
  validation {
    condition     = startswith(var.program.url, "https://") && can(regex("^[0-9a-f]{64}$", var.program.sha256))
    error_message = "The program is an https URL and a SHA-256 of 64 lower-case hexadecimal digits."
  }
}

variable "flags" {
  description = "Flags of conmotiond by their names, without dashes. They win over those that the module sets."
  type        = map(string)
  default     = {}
  validation {
    condition     = length(setintersection(keys(var.flags), ["config", "issuer", "dir", "json", "help", "version"])) == 0
    error_message = "The module sets issuer and dir, and the others are not for a service."
  }
  validation {
    condition     = try(tonumber(lookup(var.flags, "rate", "50")) > 0, false)
    error_message = "A rate of 0 is no limit, and everybody can reach this service: give one above 0."
  }
  validation {
    condition     = (contains(keys(var.flags), "storage") == contains(keys(var.flags), "database"))
    error_message = "A log in a bucket needs both storage and database."
  }
}

variable "artifact_readers" {
  description = "Who may read artifacts, and search in them: the lines that conmotion artifact token prints, which hold hashes of tokens. Without any nobody may, unless flags has artifacts-public."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for line in var.artifact_readers : can(regex("^sha256:[0-9a-f]{64} [A-Za-z0-9._@-]{1,64}$", line))])
    error_message = "Each is a line such as sha256:HEX NAME, from conmotion artifact token, and no token."
  }
}

variable "secrets" {
  description = "Shell commands that write, to their standard output, a tar archive of the directory that conmotiond keys made, and the database's password. Without them the keys are made on the machine, and there is no database."
  type        = object({ keys = string, password = string })
  default     = null
}

variable "packages" {
  description = "Packages of the system to install."
  type        = list(string)
  default     = []
}

variable "files" {
  description = "More files: path, content and mode."
  type        = list(object({ path = string, content = string, permissions = optional(string, "0644") }))
  default     = []
}

variable "before" {
  description = "Commands to run, once, before the service starts."
  type        = list(string)
  default     = []
}

variable "after" {
  description = "Commands to run, once, after the service was started."
  type        = list(string)
  default     = []
}
