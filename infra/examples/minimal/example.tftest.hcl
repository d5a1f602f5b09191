mock_provider "aws" {
  source = "../../testing"
}

run "plan" {
  command = plan
}
