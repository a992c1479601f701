variable "name" {
  description = "Name of the deployment, at the beginning of the names of what it makes."
  type        = string
  default     = "conmotion"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,18}[a-z0-9]$", var.name))
    error_message = "The name has 6 to 20 lower-case letters, digits and dashes, since the service account is named by it."
  }
}

variable "project" {
  description = "Project of all resources."
  type        = string
}

variable "region" {
  description = "Region of all that is not global."
  type        = string
}

variable "issuer" {
  description = "URL of the service, which every Receipt names. It is fixed when the log is made; its host is the load balancer's."
  type        = string
  validation {
    condition     = can(regex("^https://[^/:]+$", var.issuer))
    error_message = "The issuer is an https URL with a host only, such as https://transparency.example."
  }
}

variable "program" {
  description = "Where conmotiond for linux/amd64 is downloaded, and its SHA-256. Another one replaces the instances one after the other."
  type        = object({ url = string, sha256 = string })
}

variable "flags" {
  description = "More flags of conmotiond by their names, without dashes."
  type        = map(string)
  default     = {}
}

variable "artifact_readers" {
  description = "Who may read artifacts, and search in them: the lines that conmotion artifact token prints, which hold hashes of tokens. Without any nobody may, unless flags has artifacts-public."
  type        = list(string)
  default     = []
}

variable "instances" {
  description = "How many instances: one writes, the others take over and answer reads."
  type        = number
  default     = 2
  validation {
    condition     = var.instances >= 1 && var.instances <= 10 && floor(var.instances) == var.instances
    error_message = "1 to 10 instances."
  }
}

variable "machine_type" {
  description = "Type of an instance, with an amd64 processor."
  type        = string
  default     = "e2-small"
  validation {
    condition     = !can(regex("^(t2a|c4a|n4a)-", var.machine_type))
    error_message = "The machine's image is for amd64."
  }
}

variable "disk_gib" {
  description = "Disk of an instance: the index and the search index, which are made anew from the bucket."
  type        = number
  default     = 30
  validation {
    condition     = var.disk_gib >= 10
    error_message = "The system alone takes 8 GiB."
  }
}

variable "spanner_processing_units" {
  description = "Processing units of Spanner: multiples of 100 up to 1000, and of 1000 beyond."
  type        = number
  default     = 100
  validation {
    condition     = var.spanner_processing_units >= 100 && var.spanner_processing_units % (var.spanner_processing_units < 1000 ? 100 : 1000) == 0
    error_message = "Multiples of 100 up to 1000, and of 1000 beyond."
  }
}

variable "kms_keys" {
  description = "How many keys in KMS there are for each of note, receipt and service; 0 for files. One is for the start, and one more for each rotation. Never lower it."
  type        = number
  default     = 0
  validation {
    condition     = var.kms_keys >= 0 && var.kms_keys <= 10 && floor(var.kms_keys) == var.kms_keys
    error_message = "0 to 10 keys."
  }
}

variable "kms_protection_level" {
  description = "Where these keys are: SOFTWARE or HSM."
  type        = string
  default     = "SOFTWARE"
  validation {
    condition     = contains(["SOFTWARE", "HSM"], var.kms_protection_level)
    error_message = "SOFTWARE or HSM."
  }
}

variable "deletion_protection" {
  description = "Whether database and buckets withstand a destroy. Without them the log is lost."
  type        = bool
  default     = true
}

variable "notification_channels" {
  description = "Channels of Cloud Monitoring that alerts are sent to."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for c in var.notification_channels : can(regex("^projects/.+/notificationChannels/", c))])
    error_message = "A channel is projects/PROJECT/notificationChannels/ID."
  }
}

variable "checkpoint_age_alarm" {
  description = "Seconds: an alert when entries are stored and no checkpoint was made public for so long."
  type        = number
  default     = 60
  validation {
    condition     = var.checkpoint_age_alarm >= 10
    error_message = "A writer may change within 10 seconds, and that is not worth an alert."
  }
}
