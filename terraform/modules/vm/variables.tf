variable "issuer" {
  description = "URL of the service, which every Receipt names. It is fixed when the log is made; its host is the one that Caddy has a certificate made for."
  type        = string
  validation {
    condition     = can(regex("^https://[^/:]+$", var.issuer))
    error_message = "On a machine of its own the issuer is an https URL with a host only, such as https://transparency.example."
  }
}

variable "program" {
  description = "Where conmotiond for this machine is downloaded, and its SHA-256."
  type        = object({ url = string, sha256 = string })
}

variable "flags" {
  description = "More flags of conmotiond by their names, without dashes."
  type        = map(string)
  default     = {}
  validation {
    condition     = length(setintersection(keys(var.flags), ["listen", "trusted-proxies", "storage", "database", "keys"])) == 0
    error_message = "Here the log is on the machine's disk, behind Caddy; for a log in a bucket use the modules aws and gcp."
  }
}

variable "artifact_readers" {
  description = "Who may read artifacts, and search in them: the lines that conmotion artifact token prints, which hold hashes of tokens. Without any nobody may, unless flags has artifacts-public."
  type        = list(string)
  default     = []
}

variable "data_device" {
  description = "Block device of a volume for /var/lib/conmotion that outlives the machine, such as /dev/nvme1n1; it is formatted when it is empty. Without it the log is on the machine's first disk."
  type        = string
  default     = ""
  validation {
    condition     = var.data_device == "" || can(regex("^/dev/[A-Za-z0-9/_-]+$", var.data_device))
    error_message = "A device is a path below /dev."
  }
}

variable "backup" {
  description = "Where the log is copied to: a destination of rsync such as backup@host:conmotion, or a directory that is another disk's; every so many minutes. For a host, root on the machine needs a key of SSH, and has to know the host's. null for no backup."
  type        = object({ target = string, minutes = optional(number, 15) })
  default     = null
  validation {
    condition     = var.backup == null || can(regex("^[A-Za-z0-9_@.:/-]+$", var.backup.target))
    error_message = "The target is a directory, or user@host:path, of letters, digits and _ @ . : / -."
  }
  validation {
    condition     = var.backup == null || try(var.backup.minutes >= 1 && floor(var.backup.minutes) == var.backup.minutes, false)
    error_message = "The minutes are a whole number of at least 1."
  }
}
