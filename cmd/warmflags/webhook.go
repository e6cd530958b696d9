package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/warmflags/warmflags/internal/operate"
	"github.com/warmflags/warmflags/internal/webhook"
)

// secretVariable holds the webhook's secret. There is no flag for it, as for the SDK key.
const secretVariable = "LD_WEBHOOK_SECRET" //nolint:gosec // the name of a variable

// webhookTimeout limits a request: the API answers within 30 seconds.
const webhookTimeout = 35 * time.Second

// webhookFlags are the command's.
type webhookFlags struct {
	*targetFlags
	url, prefix, parameter string
}

func webhookCommand(target *targetFlags) *cobra.Command {
	cmd := &cobra.Command{Use: "webhook", Short: "Try LaunchDarkly's webhook"}
	f := webhookFlags{targetFlags: target}
	send := &cobra.Command{
		Use:   "send {--stack name | --url url} [--prefix environment]",
		Short: "Send a signed webhook, as LaunchDarkly does, and explain the answer",
		Long: `Sends a webhook that is signed as LaunchDarkly signs its own, so that the stack syncs, and prints the
answer, how long it took and what it means. The URL and the secret's SSM parameter are the stack's. A secret can also
be in the environment variable ` + secretVariable + `; there is no flag for it, because every user of the machine can
read a process's arguments. If the parameter has several secrets, the first one signs. --prefix requests a sync of one
environment alone.

The signature is the header ` + webhook.SignatureHeader + `: the hex of an HMAC-SHA256 of the body, with the secret as
key. Without this command, with curl and openssl, whose arguments others can read while it runs:

  URL=$(aws cloudformation describe-stacks --stack-name warmflags \
    --query "Stacks[0].Outputs[?OutputKey=='WebhookUrl'].OutputValue" --output text)
  SECRET=$(aws ssm get-parameter --name /warmflags/webhook-secret --with-decryption \
    --query Parameter.Value --output text | head -n 1)
  BODY='{"kind":"flag","date":'$(date +%s)'}'
  SIGNATURE=$(printf %s "$BODY" | openssl dgst -sha256 -hmac "$SECRET" -r | cut -d ' ' -f 1)
  curl --silent --show-error --write-out '\n%{http_code}\n' \
    --header "` + webhook.SignatureHeader + `: $SIGNATURE" --data-binary "$BODY" "$URL"

Permissions: ssm:GetParameter (and kms:Decrypt for it), cloudformation:DescribeStacks and DescribeStackResources.

Exit code 0: the request is in the queue. 1: there was no answer. 3: it was refused.`,
		Example: `  warmflags webhook send --stack warmflags
  warmflags webhook send --stack warmflags --prefix production
  ` + secretVariable + `=$(cat secret.txt) warmflags webhook send --url https://example.com/webhook`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.send(cmd) },
	}
	flags := send.Flags()
	flags.StringVar(&f.url, "url", "", "the webhook's URL, without a prefix; default: the stack's")
	flags.StringVar(&f.prefix, "prefix", "", "request a sync of this environment; default: of all")
	flags.StringVar(&f.parameter, "secret-parameter", "",
		"SSM parameter with the secret; default: "+secretVariable+", or the stack's parameter")
	complete(send, "prefix", (&sourceFlags{targetFlags: target}).completePrefixes)
	cmd.AddCommand(send)
	return cmd
}

func (f *webhookFlags) send(cmd *cobra.Command) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), webhookTimeout)
	defer cancel()
	base, secret, err := f.destination(ctx)
	if err != nil {
		return err
	}
	to := operate.WebhookURL(base, f.prefix)
	body, err := json.Marshal(map[string]any{ // each is different: SQS drops a request that repeats another one
		"kind":      "flag",
		"titleVerb": "sent a webhook with warmflags",
		"date":      time.Now().UnixMilli(),
		"_id":       rand.Text(),
	})
	if err != nil {
		return fmt.Errorf("encode webhook: %w", err)
	}
	answer, err := operate.PostWebhook(ctx, http.DefaultClient, to, []string{webhook.Sign(secret, body)}, body)
	if err != nil {
		return withHint(err, "check the URL and the network; run: %s", f.doctor())
	}
	return f.print(cmd, to, answer)
}

// destination is where to send to, and the secret to sign with. AWS is asked only for what flags and variables do not
// say.
func (f *webhookFlags) destination(ctx context.Context) (base, secret string, err error) {
	if f.parameter == "" {
		secret = f.getenv(secretVariable)
	}
	if f.url != "" {
		if err := checkURL("--url", f.url); err != nil {
			return "", "", usageError{err}
		}
	}
	if f.url != "" && secret != "" {
		return f.url, secret, nil
	}
	t, err := f.open(ctx,
		need{"webhook URL", "--url", func(*target) string { return f.url }},
		need{"webhook secret", "set " + secretVariable, func(*target) string { return cmp.Or(secret, f.parameter) }})
	if err != nil {
		return "", "", err
	}
	base = cmp.Or(f.url, t.WebhookURL)
	if base == "" {
		return "", "", withHint(
			fmt.Errorf("stack %q has no webhook", f.stack),
			"its parameter Sync is false; pass --url",
		)
	}
	if secret == "" {
		secrets, err := webhook.Parameter(
			t.account.Parameters,
			cmp.Or(f.parameter, t.Parameters["WebhookSecretParameter"]),
		)(
			ctx,
			true,
		)
		if err != nil {
			return "", "", err
		}
		secret = secrets[0]
	}
	return base, secret, nil
}

// print prints the answer, and returns the error that gives the exit code.
func (f *webhookFlags) print(cmd *cobra.Command, to string, a operate.WebhookAnswer) error {
	out := cmd.OutOrStdout()
	meaning, hint := a.Meaning(f.doctor())
	took := a.Took.Round(time.Millisecond)
	var err error
	if f.json {
		err = printJSON(out, struct {
			URL     string `json:"url"`
			Status  int    `json:"status"`
			Body    string `json:"body"`
			TookMS  int64  `json:"took_ms"`
			Meaning string `json:"meaning"`
			Hint    string `json:"hint,omitempty"`
		}{to, a.Status, a.Body, took.Milliseconds(), meaning, hint})
	} else {
		_, err = fmt.Fprintf(out, "POST %s\n%d %s (%v)\n%s\n", to, a.Status, http.StatusText(a.Status), took, meaning)
		if a.Body != "" && err == nil {
			_, err = fmt.Fprintf(out, "answer: %s\n", strings.TrimSpace(a.Body))
		}
		if hint != "" && err == nil {
			_, err = fmt.Fprintf(out, "what to do: %s\n", hint)
		}
	}
	if err == nil && hint != "" {
		err = errProblem
	}
	return err
}
