variables {
  issuer  = "https://transparency.example"
  program = { url = "https://files.example/conmotiond", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }
}

run "smallest" {
  command = plan
  assert {
    condition     = yamldecode(output.config).listen == "127.0.0.1:8080" && yamldecode(output.config).trusted-proxies == "127.0.0.1/32" && yamldecode(output.config).admin-listen == "127.0.0.1:9090"
    error_message = output.config
  }
  assert {
    condition     = startswith(output.caddyfile, "transparency.example {") && !strcontains(output.user_data, "backup") && !strcontains(output.user_data, "mkfs")
    error_message = output.user_data
  }
}

run "with_a_volume_and_a_backup" {
  command = plan
  variables {
    data_device = "/dev/nvme1n1"
    backup      = { target = "backup@host.example:conmotion", minutes = 5 }
    flags       = { rate = "10" }
  }
  assert {
    condition     = strcontains(output.user_data, "OnUnitInactiveSec=5min") && strcontains(output.user_data, "/usr/local/lib/conmotion/backup /var/lib/conmotion backup@host.example:conmotion")
    error_message = output.user_data
  }
  assert {
    condition     = index(yamldecode(output.user_data).runcmd, "mount /var/lib/conmotion") < index(yamldecode(output.user_data).runcmd, "systemctl enable --now conmotiond.service")
    error_message = "The volume is mounted before the service starts."
  }
  assert {
    condition     = yamldecode(output.config).rate == "10"
    error_message = output.config
  }
}

run "a_path_in_the_issuer" {
  command = plan
  variables {
    issuer = "https://transparency.example/log"
  }
  expect_failures = [var.issuer]
}

run "a_bucket" {
  command = plan
  variables {
    flags = { storage = "s3://log", database = "mysql://u@h/d" }
  }
  expect_failures = [var.flags]
}

run "a_command_in_a_device" {
  command = plan
  variables {
    data_device = "/dev/sdb; reboot"
  }
  expect_failures = [var.data_device]
}

run "a_command_in_a_target" {
  command = plan
  variables {
    backup = { target = "host:x; reboot" }
  }
  expect_failures = [var.backup]
}

run "a_backup_all_the_time" {
  command = plan
  variables {
    backup = { target = "/mnt", minutes = 0 }
  }
  expect_failures = [var.backup]
}
