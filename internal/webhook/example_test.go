package webhook_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/warmflags/warmflags/internal/webhook"
)

// A Lambda function behind an HTTP API.
func Example() {
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		panic(err)
	}
	secrets := webhook.Parameter(ssm.NewFromConfig(cfg), "/warmflags/webhook-secret")
	queueURL := "https://sqs.us-east-1.amazonaws.com/123456789012/sync.fifo"
	lambda.Start(webhook.New(queueURL, secrets, sqs.NewFromConfig(cfg)).Handle)
}

func ExampleHandler_ServeHTTP() {
	handler := webhook.New("https://sqs.example/sync.fifo", webhook.Static("a secret"), &fakeQueue{},
		webhook.Logger(slog.New(slog.DiscardHandler)))

	body := `{"kind":"flag"}`
	request := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	request.Header.Set("X-LD-Signature", sign(body, "a secret"))
	response := httptest.NewRecorder()
	handler.ServeHTTP(response, request)
	fmt.Println(response.Code, strings.TrimSpace(response.Body.String()))
	// Output: 202 queued
}
