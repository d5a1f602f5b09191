"""Deploy Retinue to an AWS account and operate it: ``make deploy`` and its related commands.

``deployment`` has the order of the steps, and ``ports`` the interfaces to other systems. This
package doesn't run in AWS. It calls Terraform, a container builder and AWS's API.
"""
