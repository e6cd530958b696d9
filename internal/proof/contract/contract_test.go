package contract_test

import (
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/proof/contract"
)

// Each case runs in a bubble, so that long polls and visibility timeouts take no real time.
func TestLocalAWS(t *testing.T) {
	for _, c := range contract.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cloud := localaws.New()
				defer cloud.Close()
				cloud.Logger = slog.New(slog.NewTextHandler(io.Discard, nil)) // refusals by policies are expected
				c.Run(t,
					contract.Account{DynamoDB: cloud.DynamoDB, Streams: cloud.Streams, SNS: cloud.SNS, SQS: cloud.SQS})
			})
		})
	}
}

// The cases, in a program that lists them by service.
func Example() {
	count := map[string]int{}
	for _, c := range contract.Cases() {
		count[c.Service()]++
	}
	fmt.Println(len(count), "services")
	// Output: 4 services
}
