//go:build prove

package subscriber_test

import (
	"testing"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

func TestPlantedFaultsOfQueues(t *testing.T) {
	mutant.Check(t, mutant.Suite{Package: ".", Run: "^(TestQueue|TestReaper|TestTwoPrefixes)", Mutants: []mutant.Mutant{
		// The start and its retries.
		mutant.Fault("a failed start is final", "queue.go", "case errors.Is(err, errUnsupported):",
			"case errors.Is(err, errUnsupported) || err != nil && r.checked == (clock.Instant{}):"),
		mutant.Fault("a partly created queue is not removed", "queue_setup.go",
			"if q.subscription, err = r.subscribe(ctx); err != nil {\n\t\treturn errors.Join(err, r.close(ctx))",
			"if q.subscription, err = r.subscribe(ctx); err != nil {\n\t\tr.queue = nil\n\t\treturn err"),
		mutant.Fault("subscribed before the policy is set", "queue_setup.go",
			"\tif err := r.prepare(ctx); err != nil {\n\t\treturn errors.Join(err, r.close(ctx))\n\t}\n",
			"\tdefer func() { _ = r.prepare(ctx) }()\n"),
		mutant.Fault("nothing is invalidated at the start", "queue_setup.go", "\tr.invalidateAll(r.cause)\n", ""),
		mutant.Fault("nothing is invalidated once the policy applies", "queue.go",
			"r.queue.prepared.Age(clock.Now()) >= policyTime", "false"),
		// Delivery.
		mutant.Fault("acknowledged before it is delivered", "queue.go", "\tr.listened = began\n",
			"\tr.listened = began\n\tr.acknowledge(ctx, messages)\n"),
		mutant.Fault("messages that expired are not noticed", "queue.go", "r.listened.Age(clock.Now()) >= retention",
			"false"),
		mutant.Fault("an unreadable message is dropped", "receiver.go",
			"\t\tr.invalidateAll(\"a message cannot be read\")\n", ""),
		mutant.Fault("other prefixes are delivered", "receiver.go", "case m.Prefix != r.prefix:", "case false:"),
		// The checks.
		mutant.Fault("no check", "queue.go", `cause != ""`, `false`),
		mutant.Fault("the policy is not compared", "queue_check.go", "r.comparePolicy, ", ""),
		mutant.Fault("the attributes are not compared", "queue_check.go", "r.compareAttributes, ", ""),
		mutant.Fault("the topic is not compared", "queue_check.go", ", r.compareTopic}", "}"),
		mutant.Fault("confirmation is not compared", "queue_check.go", `{"PendingConfirmation", "false"}, `, ""),
		mutant.Fault("a filter policy is not noticed", "queue_check.go", `, {"FilterPolicy", ""},`, ","),
		mutant.Fault("the endpoint is not compared", "queue_check.go", `, {"Endpoint", r.queue.arn},`, ","),
		mutant.Fault("the new subscription is not removed", "queue_check.go",
			"\t\tr.queue.subscription = subscription\n", ""),
		mutant.Fault("a lost queue is not counted", "queue_check.go", "n := r.lost.Add(1)", "n := r.lost.Load()"),
		mutant.Fault("an error counts as a difference", "queue_check.go",
			"\t\t\tr.failed(\"check the delivery\", err)\n",
			"\t\t\tr.failed(\"check the delivery\", err)\n\t\t\tdifference = \"an error\"\n"),
		mutant.Fault("an equivalent policy is a difference", "policy.go",
			"reflect.DeepEqual(simplify(x), simplify(y))", "reflect.DeepEqual(x, y)"),
		// Policies.
		mutant.Fault("opt-in regions have no principal of their own", "policy.go",
			"if !slices.Contains(defaultRegions, region) {", "if slices.Contains([]string(nil), region) {"),
		mutant.Fault("any topic may send", "policy.go", `"Sid": "NothingElseSends", "Effect": "Deny"`,
			`"Sid": "NothingElseSends", "Effect": "Allow"`),
		mutant.Fault("plain HTTP is allowed", "policy.go", `"Sid": "OnlyTLS", "Effect": "Deny"`,
			`"Sid": "OnlyTLS", "Effect": "Allow"`),
		// Reaper.
		mutant.Fault("a subscription without an ARN is unsubscribed", "reaper.go",
			" && arn.IsARN(aws.ToString(s.SubscriptionArn))", ""),
		mutant.Fault("a running process loses its queue", "reaper.go", "time.Since(beat) >= limit",
			"time.Since(beat) >= 0*limit"),
	}})
}

func TestPlantedFaultsOfEndpoints(t *testing.T) {
	mutant.Check(t, mutant.Suite{Package: ".", Run: "^(TestEndpoint|TestForged|TestFetches)", Mutants: []mutant.Mutant{
		mutant.Fault("no signature is checked", "signature.go",
			"return rsa.VerifyPKCS1v15(key, hash, digest.Sum(nil), signature)",
			"_ = rsa.VerifyPKCS1v15(key, hash, digest.Sum(nil), signature)\n\treturn nil"),
		mutant.Fault("a signed field is ignored", "signature.go", `[2]string{"Token", m.Token})`,
			`[2]string{"Token", "a+token"})`),
		mutant.Fault("certificates from any host are accepted", "certificate.go", `prefix := "https://" + host`,
			`prefix := s[:max(0, len(s)-len("/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"))]`),
		mutant.Fault("redirects are followed", "endpoint.go", "return http.ErrUseLastResponse", "return nil"),
		mutant.Fault("certificates of other owners are accepted", "certificate.go",
			"if certificate.VerifyHostname(name) == nil {",
			"if name != \"\" {"),
		mutant.Fault("forged requests fetch without a limit", "certificate.go", "forged.Age(clock.Now()) < forgedPause",
			"forged.Age(clock.Now()) < 0"),
		mutant.Fault("a fetch ends with its request", "certificate.go", "context.WithTimeout(context.WithoutCancel(ctx), ",
			"context.WithTimeout(ctx, "),
		mutant.Fault("forged requests block rotation forever", "certificate.go", "forgedPause = time.Minute",
			"forgedPause = 1000 * time.Hour"),
		mutant.Fault("an unreachable host counts as forged", "certificate.go", "if !errors.As(err, &unreached) {",
			"if !errors.As(err, &unreached) || err != nil {"),
		mutant.Fault("a certificate is fetched again", "certificate.go",
			"\t\tc.verified[m.SigningCertURL] = certificate\n", ""),
		mutant.Fault("a forged request hides the right certificate", "certificate.go",
			"certificate = c.candidate[m.SigningCertURL]", "certificate = nil"),
		mutant.Fault("anyone can end the subscription", "endpoint.go",
			"AuthenticateOnUnsubscribe: aws.String(\"true\")",
			"AuthenticateOnUnsubscribe: aws.String(\"false\")"),
		mutant.Fault("the end of a subscription is not counted", "endpoint.go",
			"n := e.lost.Add(1)", "n := e.lost.Load()"),
		mutant.Fault("the end of a subscription invalidates nothing", "endpoint.go",
			"\t\te.invalidateAll(\"the subscription was ended\")\n", ""),
		mutant.Fault("the first message does not invalidate", "endpoint.go",
			"e.invalidateAll(\"first message of this process\")", "_ = e"),
		mutant.Fault("an old message is accepted", "endpoint.go", "age > maxAge || ", ""),
	}})
}
