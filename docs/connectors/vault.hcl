# For a KV version 2 engine at `secret` and `path = "handover/{group}"`.
path "secret/data/handover/*" {
  capabilities = ["create", "read", "update"]
}
path "secret/metadata/handover/*" {
  capabilities = ["read"]
}
# With retired = "destroy".
path "secret/destroy/handover/*" {
  capabilities = ["update"]
}
# With retired = "delete".
path "secret/delete/handover/*" {
  capabilities = ["update"]
}
# Where candidates are staged (strategy = "staged"). Consumers need nothing there.
path "secret/data/handover-staging/handover/*" {
  capabilities = ["create", "read", "update"]
}
path "secret/metadata/handover-staging/handover/*" {
  capabilities = ["read"]
}
path "secret/destroy/handover-staging/handover/*" {
  capabilities = ["update"]
}
# Whether the mount is a KV version 2.
path "sys/internal/ui/mounts/secret" {
  capabilities = ["read"]
}
# What we may do, for `handover check --online`.
path "sys/capabilities-self" {
  capabilities = ["update"]
}
# Written before each read: the answer says how far the active node is.
path "cubbyhole/handover" {
  capabilities = ["create", "update"]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
