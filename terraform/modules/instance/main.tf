# What makes a new machine an instance of the service: a document for cloud-init. It
# needs no provider, so any cloud's machine takes it as its user data.

terraform {
  required_version = ">= 1.9"
}

locals {
  flags = merge(
    {
      listen       = ":8080"
      admin-listen = ":9090"
      log-format   = "json"
      rate         = "50"
      burst        = "100"
    },
    var.secrets == null ? {} : { keys = "/run/conmotion/keys" },
    var.secrets == null || !contains(keys(var.flags), "database") ? {} : { database-password-file = "/run/conmotion/database-password" },
    length(var.artifact_readers) == 0 ? {} : { artifact-read-tokens = "/etc/conmotion/artifact-readers" },
    var.flags,
    var.secrets == null ? { issuer = var.issuer } : {},
    { dir = "/var/lib/conmotion" },
  )
  config = yamlencode(local.flags)

  # Secrets are in memory only. A service that cannot get them does not start, and is
  # started again.
  fetch = var.secrets == null ? [] : [
    {
      path        = "/usr/local/lib/conmotion/fetch-secrets"
      permissions = "0755"
      content     = <<-EOT
        #!/bin/sh
        set -eu
        umask 077
        export HOME=/root # and not that of the service's user, who has none
        cd /run/conmotion
        rm -rf keys && mkdir keys
        ${var.secrets.keys} > keys.tar
        tar -x -f keys.tar -C keys
        rm keys.tar
        ${var.secrets.password} > database-password
        chown -R conmotion: keys database-password
      EOT
    },
    {
      path        = "/etc/systemd/system/conmotiond.service.d/secrets.conf"
      permissions = "0644"
      content     = "[Service]\nExecStartPre=+/usr/local/lib/conmotion/fetch-secrets\n"
    },
  ]

  user_data = "#cloud-config\n${yamlencode({
    users    = ["default", { name = "conmotion", system = true, shell = "/usr/sbin/nologin", no_create_home = true }]
    packages = var.packages
    write_files = concat(
      [
        { path = "/etc/systemd/system/conmotiond.service", permissions = "0644", content = file("${path.module}/../../../deploy/conmotiond.service") },
        { path = "/etc/conmotion/conmotiond.yaml", permissions = "0644", content = local.config },
      ],
      local.fetch,
      length(var.artifact_readers) == 0 ? [] : [
        { path = "/etc/conmotion/artifact-readers", permissions = "0644", content = join("", formatlist("%s\n", var.artifact_readers)) },
      ],
      var.files,
    )
    runcmd = concat(
      [
        "curl -fsSL --retry 5 -o /usr/local/bin/conmotiond.new '${var.program.url}'",
        "echo '${var.program.sha256}  /usr/local/bin/conmotiond.new' | sha256sum -c && install -m 0755 /usr/local/bin/conmotiond.new /usr/local/bin/conmotiond",
      ],
      var.before,
      ["systemctl daemon-reload", "systemctl enable --now conmotiond.service"],
      var.after,
    )
  })}"
}
