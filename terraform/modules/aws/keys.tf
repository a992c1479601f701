# Keys that sign in KMS, so that nobody can copy them. What they sign verifies for ever, so
# there is only ever one more of each, for a rotation: conmotiond key rotate --to URI.

locals {
  specs = { note = "ECC_NIST_EDWARDS25519", receipt = "ECC_NIST_P256", service = "ECC_NIST_P256" }
  uris  = { for name, key in aws_kms_key.signing : name => "awskms:///${key.arn}" }
  # What conmotiond keys is told of the first of each.
  key_flags = join("", [for purpose in keys(local.specs) : " --${purpose}-key ${local.uris["${purpose}-1"]}" if var.kms_keys > 0])
}

resource "aws_kms_key" "signing" {
  for_each                 = { for key in setproduct(keys(local.specs), range(1, var.kms_keys + 1)) : join("-", key) => local.specs[key[0]] }
  description              = "${var.name}: ${each.key}"
  key_usage                = "SIGN_VERIFY"
  customer_master_key_spec = each.value
  deletion_window_in_days  = 30
}
