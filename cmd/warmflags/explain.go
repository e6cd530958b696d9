package main

import (
	"errors"
	"net"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/warmflags/warmflags/internal/operate"
)

// explain returns what to print of err, and what to do about it. What AWS's SDK prints for a newcomer's mistakes is
// replaced by words.
func explain(err error) (text, hint string) {
	text = err.Error()
	var h hinted
	for inner := err; errors.As(inner, &h); inner = h.error {
		hint = h.hint
	}
	if hint != "" {
		return text, hint
	}
	for _, c := range explanations {
		if c.matches(err) {
			if c.text != "" {
				text = c.text
			}
			return text, c.hint
		}
	}
	return text, ""
}

// explanation is a failure that people meet before anything works.
type explanation struct {
	matches    func(error) bool
	text, hint string // no text: the error's own
}

// explanations are in the order in which they are tried.
var explanations = []explanation{
	{
		matches: func(err error) bool {
			return strings.Contains(err.Error(), "get credentials:") || strings.Contains(err.Error(), "failed to refresh cached credentials")
		},
		text: "there are no AWS credentials",
		hint: "set AWS_PROFILE, or run: aws sso login, or: aws configure",
	},
	{
		matches: isCode("UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException"),
		hint:    "the AWS credentials are wrong or have expired; run: aws sts get-caller-identity",
	},
	{
		matches: func(err error) bool { return errors.Is(err, operate.ErrNoStack) },
		hint:    "check the name and the region (--region or AWS_REGION); run: aws cloudformation list-stacks",
	},
	{
		matches: isCode("ParameterNotFound"),
		hint:    "check the parameter's name and the region; run: aws ssm describe-parameters",
	},
	{
		matches: isCode("ResourceNotFoundException"),
		hint:    "check the table's name and the region (--region or AWS_REGION); run: aws dynamodb list-tables",
	},
	{
		matches: isCode("AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"),
		hint:    "the AWS credentials lack this permission; docs/operating.md has the policy that the commands need",
	},
	{
		matches: func(err error) bool { return errors.As(err, new(*net.DNSError)) },
		hint:    "check the region (--region or AWS_REGION) and the network: there is no such host",
	},
}

// isCode reports whether AWS answered with one of these error codes.
func isCode(codes ...string) func(error) bool {
	return func(err error) bool {
		problem := smithy.APIError(nil)
		if !errors.As(err, &problem) {
			return false
		}
		for _, code := range codes {
			if problem.ErrorCode() == code {
				return true
			}
		}
		return false
	}
}
