# One machine with the log on its disk, Caddy in front, and a backup: a document for
# cloud-init, for a machine of any cloud with Debian or Ubuntu.

terraform {
  required_version = ">= 1.9"
}

locals {
  host = trimprefix(var.issuer, "https://")

  caddyfile = <<-EOT
    ${local.host} {
      # Caddy sets X-Forwarded-For; a Forwarded that a client sent would contradict it.
      reverse_proxy 127.0.0.1:8080 {
        header_up -Forwarded
      }
    }
  EOT

  backup = var.backup == null ? [] : [
    { path = "/usr/local/lib/conmotion/backup", permissions = "0755", content = file("${path.module}/../../../deploy/backup") },
    {
      path        = "/etc/systemd/system/conmotion-backup.service"
      permissions = "0644"
      content     = <<-EOT
        [Unit]
        Description=Copy the log to ${var.backup.target}

        [Service]
        Type=oneshot
        ExecStart=/usr/local/lib/conmotion/backup /var/lib/conmotion ${var.backup.target}
      EOT
    },
    {
      path        = "/etc/systemd/system/conmotion-backup.timer"
      permissions = "0644"
      content     = <<-EOT
        [Timer]
        OnBootSec=5min
        OnUnitInactiveSec=${var.backup.minutes}min

        [Install]
        WantedBy=timers.target
      EOT
    },
  ]

  mount = var.data_device == "" ? [] : [
    "timeout 300 sh -c 'until [ -b ${var.data_device} ]; do sleep 2; done'", # it may be attached after the start
    "blkid ${var.data_device} || mkfs.ext4 -L conmotion ${var.data_device}",
    "mkdir -p /var/lib/conmotion",
    "echo '${var.data_device} /var/lib/conmotion ext4 defaults,nofail 0 2' >> /etc/fstab",
    "mount /var/lib/conmotion",
    "chown conmotion: /var/lib/conmotion",
  ]
}

module "instance" {
  source           = "../instance"
  issuer           = var.issuer
  program          = var.program
  packages         = ["caddy", "rsync"]
  artifact_readers = var.artifact_readers
  flags = merge(
    {
      admin-listen    = "127.0.0.1:9090"
      trusted-proxies = "127.0.0.1/32"
    },
    var.flags,
    { listen = "127.0.0.1:8080" },
  )
  files  = concat([{ path = "/etc/caddy/Caddyfile", content = local.caddyfile }], local.backup)
  before = local.mount
  after = concat(
    ["systemctl reload-or-restart caddy.service"],
    var.backup == null ? [] : ["systemctl enable --now conmotion-backup.timer"],
  )
}
