package flagsync_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/warmflags/warmflags/internal/flagsync"
	"github.com/warmflags/warmflags/internal/table"
)

// A command that syncs one environment once.
func ExampleSyncer_Sync() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	environment := &table.Environment{Client: dynamodb.NewFromConfig(cfg), Table: "flags", Prefix: "production"}
	keys := flagsync.StaticKeys(map[string]string{"production": os.Getenv("LD_SDK_KEY")})
	result, err := flagsync.New(environment, keys, flagsync.DryRun()).Sync(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(result.Updated), "flags and segments would be updated")
}

// The Lambda function. It syncs all environments whose SDK keys are in the parameter to one table.
func ExampleHandler() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	keys := flagsync.ParameterKeys(ssm.NewFromConfig(cfg), os.Getenv("SDK_KEY_PARAMETER"))
	handler := flagsync.NewHandler(dynamodb.NewFromConfig(cfg), os.Getenv("TABLE_NAME"), keys)
	lambda.Start(handler.Handle)
}
