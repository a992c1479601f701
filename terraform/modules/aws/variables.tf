variable "name" {
  description = "Name of the deployment, at the beginning of the names of what it makes."
  type        = string
  default     = "conmotion"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "The name has 3 to 20 lower-case letters, digits and dashes, since load balancers and buckets are named by it."
  }
}

variable "issuer" {
  description = "URL of the service, which every Receipt names. It is fixed when the log is made; its host is the CDN's."
  type        = string
  validation {
    condition     = can(regex("^https://[^/:]+$", var.issuer))
    error_message = "The issuer is an https URL with a host only, such as https://transparency.example."
  }
}

variable "certificate_arn" {
  description = "Certificate of the issuer's host in ACM. CloudFront takes only one of us-east-1."
  type        = string
  validation {
    condition     = can(regex("^arn:aws[a-z-]*:acm:us-east-1:[0-9]{12}:certificate/", var.certificate_arn))
    error_message = "CloudFront takes a certificate of ACM in us-east-1 only."
  }
}

variable "vpc_id" {
  description = "VPC of instances, database and load balancer."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets in at least two availability zones, from which instances reach S3, Secrets Manager and the program's URL."
  type        = list(string)
  validation {
    condition     = length(distinct(var.subnet_ids)) >= 2
    error_message = "Aurora and the load balancer need subnets in two availability zones."
  }
}

variable "program" {
  description = "Where conmotiond for linux/arm64 is downloaded, and its SHA-256. Another one replaces the instances one after the other."
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

variable "instance_type" {
  description = "Type of an instance, with an arm64 processor."
  type        = string
  default     = "t4g.small"
  validation {
    condition     = can(regex("^[a-z]+[0-9]+g[a-z]*\\.", var.instance_type))
    error_message = "The machine's image is for arm64: choose a type of Graviton, such as t4g.small or m7g.large."
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

variable "database_capacity" {
  description = "Aurora capacity units, least and most."
  type        = object({ min = number, max = number })
  default     = { min = 0.5, max = 8 }
  validation {
    condition     = var.database_capacity.min >= 0.5 && var.database_capacity.max >= 1 && var.database_capacity.min <= var.database_capacity.max && var.database_capacity.max <= 256
    error_message = "0.5 <= min <= max <= 256, and max is at least 1: a database that pauses cannot renew the writer's lease."
  }
}

variable "database_password" {
  description = "Password of the database's user. It is in no state file; give it as TF_VAR_database_password."
  type        = string
  sensitive   = true
  ephemeral   = true
  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]{24,41}$", var.database_password))
    error_message = "24 to 41 letters, digits and _ . -."
  }
}

variable "database_password_version" {
  description = "A number that grows with each change of the password."
  type        = number
  default     = 1
  validation {
    condition     = var.database_password_version >= 1 && floor(var.database_password_version) == var.database_password_version
    error_message = "A whole number of at least 1."
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

variable "deletion_protection" {
  description = "Whether database and buckets withstand a destroy. Without them the log is lost."
  type        = bool
  default     = true
}

variable "alarm_actions" {
  description = "ARNs that alarms are sent to, such as that of an SNS topic."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for a in var.alarm_actions : startswith(a, "arn:")])
    error_message = "An action is an ARN."
  }
}

variable "checkpoint_age_alarm" {
  description = "Seconds: an alarm when entries are stored and no checkpoint was made public for so long."
  type        = number
  default     = 60
  validation {
    condition     = var.checkpoint_age_alarm >= 10
    error_message = "A writer may change within 10 seconds, and that is not worth an alarm."
  }
}
