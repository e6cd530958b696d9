package main

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/warmflags/warmflags/internal/flagsync"
	"github.com/warmflags/warmflags/internal/operate"
	"github.com/warmflags/warmflags/internal/table"
)

// explain returns what to print of err, and what to do about it. The errors that AWS's client returns for a newcomer's
// mistakes get a hint, and some get other words. Region is the region in use, empty if none is known.
func explain(err error, region string) (text, hint string) {
	text = operate.WithoutNoise(err)
	if hints := hintsOf(err); len(hints) > 0 {
		return text, strings.Join(hints, "\n")
	}
	for _, e := range explanations {
		if e.matches(err) {
			if e.text != "" {
				text = e.text
			}
			return text, strings.ReplaceAll(e.hint, "{region}", "region "+quoteOr(region, "in use"))
		}
	}
	return text, ""
}

// hintsOf returns the hints of an error, or of several that are joined. Of nested hints the innermost counts.
func hintsOf(err error) (hints []string) {
	switch e := err.(type) { //nolint:errorlint // it walks the tree
	case hinted:
		if inner := hintsOf(e.error); len(inner) > 0 {
			return inner
		}
		return []string{e.hint}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			for _, hint := range hintsOf(inner) {
				if !slices.Contains(hints, hint) {
					hints = append(hints, hint)
				}
			}
		}
	case interface{ Unwrap() error }:
		return hintsOf(e.Unwrap())
	}
	return hints
}

func quoteOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return `"` + s + `"`
}

// explanation is a failure that people meet before anything works.
type explanation struct {
	matches    func(error) bool
	text, hint string // no text: the error's own; {region} stands for the region in use
}

// explanations are in the order in which they are tried: from the cause to its consequences.
var explanations = []explanation{
	{
		matches: func(err error) bool { return errors.As(err, new(config.SharedConfigProfileNotExistError)) },
		hint:    "check AWS_PROFILE; run: aws configure list-profiles",
	},
	{
		matches: contains(
			"token has expired and refresh failed",
			"failed to refresh cached SSO token",
			"cached SSO token",
		),
		text: "the AWS single sign-on session has expired",
		hint: "run: aws sso login",
	},
	{
		matches: operate.HasNoCredentials,
		text:    operate.NoCredentials,
		hint:    "set AWS_PROFILE, or run: aws sso login, or: aws configure",
	},
	{ // a role, a process or a service refuses them, and says why
		matches: contains("get credentials:", "failed to refresh cached credentials"),
		hint:    "the AWS credentials cannot be read; run: aws sts get-caller-identity",
	},
	{
		matches: isCode("UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException",
			"SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "AuthFailure"),
		hint: "the AWS credentials are wrong or have expired, or this machine's clock is wrong; " +
			"run: aws sts get-caller-identity",
	},
	{
		matches: func(err error) bool { return errors.Is(err, operate.ErrNoStack) },
		hint: "check the name, the {region} (--region or AWS_REGION), and the account (aws sts get-caller-identity); " +
			"run: aws cloudformation list-stacks",
	},
	{
		matches: func(err error) bool { return errors.Is(err, flagsync.ErrUnauthorized) },
		hint: "copy the environment's server-side SDK key from LaunchDarkly (Environments, SDK key) to where it is read from: " +
			"the SSM parameter (aws ssm put-parameter --overwrite) or " + keyVariable,
	},
	{
		matches: contains("there is no SDK key for prefix"),
		hint:    "pass one of these with --prefix, or add the environment's key to the SSM parameter",
	},
	{
		matches: func(err error) bool { return errors.Is(err, table.ErrTokenLost) },
		hint:    "the other sync writes the newer data; run again to see that the table is equal",
	},
	{
		matches: isCode("ParameterNotFound"),
		hint:    "check the parameter's name, and whether it is in {region}; run: aws ssm describe-parameters",
	},
	{
		matches: isCode("ResourceNotFoundException"),
		hint: "check the table's name, the {region} (--region or AWS_REGION), " +
			"and the account (aws sts get-caller-identity); run: aws dynamodb list-tables",
	},
	{
		matches: isCode("NotFound", "NotFoundException"),
		hint:    "check the topic's ARN, its region and its account; run: aws sns list-topics",
	},
	{
		matches: contains("does not match the schema", "missed key schema element"),
		hint: `it is another kind of table: a flag table has the partition key "namespace" and the sort key "key", ` +
			"both strings; run: aws dynamodb describe-table --table-name NAME",
	},
	{
		matches: isCode("AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException",
			"UnauthorizedOperation"),
		hint: "the AWS credentials lack this permission, or belong to another account (aws sts get-caller-identity); " +
			"docs/operating.md lists the permissions that each command needs",
	},
	{
		matches: isCode("ThrottlingException", "Throttling", "ProvisionedThroughputExceededException",
			"RequestLimitExceeded", "TooManyRequestsException"),
		hint: "AWS refuses requests because there are too many: try again in a minute, or raise the limit that it names",
	},
	{
		matches: func(err error) bool { return errors.As(err, new(*net.DNSError)) },
		hint: "check the spelling of the {region} (--region or AWS_REGION), and the network: " +
			"the host's name cannot be resolved",
	},
	{
		matches: func(err error) bool {
			return errors.Is(err, syscall.ECONNREFUSED) && os.Getenv("AWS_ENDPOINT_URL") != ""
		},
		hint: "nothing listens there: check AWS_ENDPOINT_URL, or unset it to reach AWS",
	},
	{
		matches: func(err error) bool {
			return errors.As(err, new(*net.OpError)) || errors.Is(err, context.DeadlineExceeded)
		},
		hint: "check the network: VPN, proxy (HTTPS_PROXY) and firewall",
	},
}

// contains reports whether an error's text has one of these parts.
func contains(parts ...string) func(error) bool {
	return func(err error) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(err.Error(), part) })
	}
}

// isCode reports whether AWS answered with one of these error codes.
func isCode(codes ...string) func(error) bool {
	return func(err error) bool { return operate.HasCode(err, codes...) }
}
