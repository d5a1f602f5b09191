mock_provider "aws" {
  source = "../../testing"
}

run "everything_is_brought_along" {
  command = plan

  assert {
    condition     = length(output.reader_role_arns) == 2
    error_message = "the owner of a bucket in another account must learn who reads it"
  }
}
