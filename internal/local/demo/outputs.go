package demo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// describeTimeout limits the one call to CloudFormation.
const describeTimeout = 20 * time.Second

// stackOutputs asks CloudFormation for a stack's outputs. One signed call is little enough to do without its client, which
// is among the largest of the AWS SDK
// (https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html).
func stackOutputs(ctx context.Context, cfg aws.Config, stack string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	status, answer, err := describeStacks(ctx, cfg, stack)
	if err != nil {
		return nil, fmt.Errorf("describe stack %q: %w", stack, err)
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("describe stack %q: status %d: %s", stack, status, answer)
	}
	var described struct {
		Outputs []struct {
			Key   string `xml:"OutputKey"`
			Value string `xml:"OutputValue"`
		} `xml:"DescribeStacksResult>Stacks>member>Outputs>member"`
	}
	if err := xml.Unmarshal(answer, &described); err != nil {
		return nil, fmt.Errorf("describe stack %q: read the answer: %w", stack, err)
	}
	outputs := map[string]string{}
	for _, o := range described.Outputs {
		outputs[o.Key] = o.Value
	}
	if outputs["TableName"] == "" || outputs["TopicArn"] == "" {
		return nil, fmt.Errorf("stack %q has no outputs TableName and TopicArn: is it one of template.yaml?", stack)
	}
	return outputs, nil
}

// describeStacks makes the call.
func describeStacks(ctx context.Context, cfg aws.Config, stack string) (status int, answer []byte, err error) {
	endpoint := "https://cloudformation." + cfg.Region + ".amazonaws.com/"
	if strings.HasPrefix(cfg.Region, "cn-") {
		endpoint = "https://cloudformation." + cfg.Region + ".amazonaws.com.cn/"
	}
	if cfg.BaseEndpoint != nil {
		endpoint = *cfg.BaseEndpoint
	}
	body := []byte(url.Values{"Action": {"DescribeStacks"}, "Version": {"2010-05-15"}, "StackName": {stack}}.Encode())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	credentials, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return 0, nil, fmt.Errorf("find credentials: %w", err)
	}
	hash := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, credentials, request, hex.EncodeToString(hash[:]), "cloudformation", cfg.Region, time.Now()); err != nil {
		return 0, nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err = io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response.StatusCode, answer, err
}
