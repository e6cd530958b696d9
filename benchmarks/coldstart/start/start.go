// Package start has the code that the programs of this benchmark share: a Lambda function up to its first evaluated
// flag. It imports what every such function imports.
package start

import (
	"fmt"
	"log"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
)

// The table of flags, its prefix, and the flag that is evaluated.
const (
	Table  = "flags"
	Prefix = "production"
	Key    = "checkout-feature-000"
)

// Config is the configuration of a client in daemon mode that never calls LaunchDarkly.
func Config(store subsystems.ComponentConfigurer[subsystems.DataStore]) ld.Config {
	return ld.Config{
		DataStore: store, DataSource: ldcomponents.ExternalUpdatesOnly(), Events: ldcomponents.NoEvents(),
		Logging: ldcomponents.NoLogging(), DiagnosticOptOut: true,
	}
}

// Run makes a client, evaluates a flag, and prints three times in nanoseconds since 1970: when it was called, when
// there was a client, and when the flag was evaluated.
func Run(open func() (*ld.LDClient, error)) {
	began := time.Now()
	client, err := open()
	if err != nil {
		log.Fatal(err)
	}
	made := time.Now()
	on, err := client.BoolVariation(Key, ldcontext.New("user"), false)
	if err != nil || !on {
		log.Fatalf("the flag is %t: %v", on, err)
	}
	fmt.Println(began.UnixNano(), made.UnixNano(), time.Now().UnixNano())
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" { // never set here, but so the binary contains the code of a function
		lambda.Start(func() {})
	}
}
