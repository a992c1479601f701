variables {
  issuer  = "https://transparency.example"
  program = { url = "https://files.example/conmotiond", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }
}

run "keys_on_the_machine" {
  command = plan
  assert {
    condition     = yamldecode(output.config) == { listen = ":8080", admin-listen = ":9090", log-format = "json", rate = "50", burst = "100", issuer = "https://transparency.example", dir = "/var/lib/conmotion" }
    error_message = output.config
  }
  assert {
    condition     = startswith(output.user_data, "#cloud-config\n") && !strcontains(output.user_data, "fetch-secrets")
    error_message = output.user_data
  }
}

run "keys_and_password_elsewhere" {
  command = plan
  variables {
    secrets = { keys = "get keys", password = "get password" }
    flags   = { storage = "s3://log", database = "mysql://u@db/name", rate = "5" }
  }
  assert {
    condition     = yamldecode(output.config).keys == "/run/conmotion/keys" && yamldecode(output.config).database-password-file == "/run/conmotion/database-password"
    error_message = output.config
  }
  assert {
    condition     = yamldecode(output.config).rate == "5" && !contains(keys(yamldecode(output.config)), "issuer")
    error_message = "The flags that are given win, and the issuer is in service.json."
  }
  assert {
    condition     = strcontains(output.user_data, "get password > database-password")
    error_message = output.user_data
  }
}

run "an_issuer_without_tls" {
  command = plan
  variables {
    issuer = "http://transparency.example"
  }
  expect_failures = [var.issuer]
}

run "an_issuer_with_a_slash_at_its_end" {
  command = plan
  variables {
    issuer = "https://transparency.example/"
  }
  expect_failures = [var.issuer]
}

run "a_program_that_anybody_can_replace" {
  command = plan
  variables {
    program = { url = "http://files.example/conmotiond", sha256 = "" }
  }
  expect_failures = [var.program]
}

run "no_limit_of_rates" {
  command = plan
  variables {
    flags = { rate = "0" }
  }
  expect_failures = [var.flags]
}

run "a_bucket_without_a_database" {
  command = plan
  variables {
    flags = { storage = "s3://log" }
  }
  expect_failures = [var.flags]
}

run "a_flag_of_the_module" {
  command = plan
  variables {
    flags = { dir = "/elsewhere" }
  }
  expect_failures = [var.flags]
}

run "readers_of_artifacts" {
  command = plan
  variables {
    artifact_readers = ["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 auditor"]
  }
  assert {
    condition     = yamldecode(output.config).artifact-read-tokens == "/etc/conmotion/artifact-readers" && strcontains(output.user_data, "27ae41e4649b934ca495991b7852b855 auditor")
    error_message = output.user_data
  }
}

run "a_token_in_place_of_its_hash" {
  command = plan
  variables {
    artifact_readers = ["c2VjcmV0 auditor"]
  }
  expect_failures = [var.artifact_readers]
}
