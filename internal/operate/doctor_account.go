package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"golang.org/x/sync/errgroup"

	"github.com/warmflags/warmflags/internal/flagsync"
	"github.com/warmflags/warmflags/internal/parameter"
	"github.com/warmflags/warmflags/internal/table"
	"github.com/warmflags/warmflags/internal/webhook"
)

// maxSkew is how far the local clock may be off. AWS refuses signatures that are five minutes off, and the ages of
// heartbeats and syncs are computed with this clock.
const maxSkew = time.Minute

// maxProbes is how many SDK keys are tried at the same time.
const maxProbes = 8

func (e *examination) checkCredentials(ctx context.Context) Check {
	identity, err := e.identity()
	if err != nil && ctx.Err() != nil {
		return unknown("AWS did not answer", err)
	}
	if err != nil {
		fix := "aws sso login || aws configure"
		if errors.Is(err, syscall.ECONNREFUSED) {
			fix = "unset AWS_ENDPOINT_URL"
		}
		return problem("AWS cannot be called: "+brief(err), fix)
	}
	return judgeAccount(identity, e.Stack)
}

// judgeAccount compares the account of the credentials with that of the topic.
func judgeAccount(identity *sts.GetCallerIdentityOutput, s Stack) Check {
	account := aws.ToString(identity.Account)
	if topic, err := arn.Parse(s.TopicARN); err == nil && topic.AccountID != account {
		return problem(fmt.Sprintf("the credentials are of account %q, and the topic is in account %q", account,
			topic.AccountID),
			"aws configure list-profiles")
	}
	return checkOK(fmt.Sprintf("account %q", account), fmt.Sprintf("as %q", aws.ToString(identity.Arn)))
}

func (e *examination) checkRegion(context.Context) Check { return judgeRegion(e.AWS.Region, e.Stack) }

// judgeRegion compares the region in use with that of the topic and the stream.
func judgeRegion(region string, s Stack) Check {
	for what, text := range map[string]string{"topic": s.TopicARN, "table's stream": s.TableStreamARN} {
		if named, err := arn.Parse(text); err == nil && named.Region != region {
			return problem(fmt.Sprintf("region %q is in use, and the %s is in %q", region, what, named.Region),
				"export AWS_REGION="+quote(named.Region))
		}
	}
	return checkOK(fmt.Sprintf("%q", region))
}

func (e *examination) checkClock(context.Context) Check {
	identity, err := e.identity()
	if err != nil {
		return unknown("AWS's time is not known", err)
	}
	server, ok := middleware.GetServerTime(identity.ResultMetadata)
	received, ok2 := middleware.GetResponseAt(identity.ResultMetadata)
	if !ok || !ok2 {
		return unknown("AWS's time is not known", errors.New("its answer has no Date header"))
	}
	return judgeClock(received, server)
}

// judgeClock compares the local clock with AWS's when its answer came.
func judgeClock(local, server time.Time) Check {
	skew := local.Sub(server).Round(time.Second)
	found := fmt.Sprintf("the local clock is %v ahead of AWS's", skew)
	if skew < 0 {
		found = fmt.Sprintf("the local clock is %v behind AWS's", -skew)
	}
	if skew.Abs() > maxSkew {
		return problem(found, "sudo timedatectl set-ntp true")
	}
	return checkOK(found)
}

func (e *examination) checkStack(context.Context) Check {
	if e.NoStack != nil {
		return judgeNoStack(e.Stack.Name, e.NoStack, e.fixes)
	}
	return judgeStatus(e.Stack, e.fixes)
}

// judgeNoStack judges why a stack could not be described.
func judgeNoStack(name string, err error, fixes commands) Check {
	switch {
	case errors.Is(err, ErrNoStack):
		return problem(err.Error(), fixes.aws("cloudformation list-stacks"))
	case errors.Is(err, errNoOutputs):
		return problem(err.Error(), fixes.stackEvents(name))
	}
	return unknown(fmt.Sprintf("stack %q cannot be described", name), err)
}

// judgeStatus judges CloudFormation's status of the stack.
func judgeStatus(s Stack, fixes commands) Check {
	found := fmt.Sprintf("stack %q is %s", s.Name, s.Status)
	switch {
	case s.Status == "UPDATE_ROLLBACK_FAILED":
		return problem(found+": its resources are of two versions", fixes.aws("cloudformation continue-update-rollback",
			"--stack-name", s.Name))
	case strings.HasSuffix(s.Status, "_FAILED") || strings.HasSuffix(s.Status, "ROLLBACK_COMPLETE"):
		return problem(found+": the last deployment failed, and its events have the reason", fixes.stackEvents(s.Name))
	case strings.HasSuffix(s.Status, "_IN_PROGRESS"):
		return Check{State: CheckUnknown, Found: found + ": examine it again when the deployment has ended"}
	}
	return checkOK(found)
}

func (e *examination) checkKeyParameter(context.Context) Check {
	name := e.Stack.Parameters["SdkKeyParameter"]
	keys, err := e.keys()
	if err != nil {
		return judgeParameter(name, err, e.fixes.putSecret(name, "sdk-key.txt"))
	}
	return checkOK(fmt.Sprintf("parameter %q has a key for %s", name, prefixes(slices.Sorted(maps.Keys(keys)))))
}

// prefixes lists prefixes for people.
func prefixes(all []string) string {
	if len(all) == 1 {
		return fmt.Sprintf("prefix %q", all[0])
	}
	return fmt.Sprintf("prefixes %q", all)
}

// judgeParameter says whether a parameter is wrong, or could not be read by the caller.
func judgeParameter(name string, err error, fix string) Check {
	if !errors.Is(err, parameter.ErrWrong) || HasCode(err, "AccessDeniedException") {
		return unknown(fmt.Sprintf("parameter %q cannot be read", name), err)
	}
	if HasCode(err, "ParameterNotFound", "ParameterVersionNotFound") {
		return problem(fmt.Sprintf("parameter %q does not exist", name), fix)
	}
	return problem(err.Error(), fix)
}

// checkKeys tries each SDK key, and has one result for each prefix.
func (e *examination) checkKeys(ctx context.Context) []Check {
	keys, err := e.keys()
	if err != nil {
		return []Check{{State: CheckSkipped, Found: "there is no key to try: see the SDK key parameter"}}
	}
	all := slices.Sorted(maps.Keys(keys))
	results := make([]Check, len(all))
	var probes errgroup.Group
	probes.SetLimit(maxProbes)
	for i, prefix := range all {
		probes.Go(func() error {
			environment := &table.Environment{Client: e.db, Table: e.Stack.Table, Prefix: prefix}
			items, err := flagsync.New(environment, flagsync.StaticKeys(keys),
				flagsync.Logger(slog.New(slog.DiscardHandler)), // what fails is a result
				flagsync.StreamURI(e.Stack.Parameters["StreamUri"]),
				flagsync.PayloadFilter(e.Stack.Parameters["PayloadFilter"])).Fetch(ctx)
			results[i] = judgeKey(items, err, e.Stack, e.fixes)
			results[i].Name = fmt.Sprintf("SDK key of prefix %q", prefix)
			return nil
		})
	}
	_ = probes.Wait() // failures are results
	return results
}

// judgeKey judges what LaunchDarkly answered to an SDK key.
func judgeKey(items []table.Collection, err error, s Stack, fixes commands) Check {
	stream := cmp.Or(s.Parameters["StreamUri"], "LaunchDarkly")
	switch {
	case errors.Is(err, flagsync.ErrUnauthorized):
		return problem(err.Error(), fixes.putSecret(s.Parameters["SdkKeyParameter"], "sdk-key.txt"))
	case err != nil:
		return unknown(stream+" did not answer as expected", err)
	}
	var counts []string
	for _, c := range items {
		counts = append(counts, fmt.Sprintf("%d %s", len(c.Items), c.Kind))
	}
	return checkOK(stream + " accepts it and sent " + strings.Join(counts, " and "))
}

func (e *examination) checkSecret(ctx context.Context) Check {
	name := e.Stack.Parameters["WebhookSecretParameter"]
	secrets, err := webhook.Parameter(e.ssm, name)(ctx, true)
	if err != nil {
		return judgeParameter(name, err, e.fixes.putSecret(name, "webhook-secret.txt"))
	}
	if len(secrets) > 1 {
		return checkOK(fmt.Sprintf("parameter %q has %d secrets: a rotation is not complete", name, len(secrets)))
	}
	return checkOK(fmt.Sprintf("parameter %q has a secret", name))
}
