package webhook

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-lambda-go/events"
)

// Handle serves API Gateway's HTTP APIs and Lambda's function URLs. If the route ends in {proxy+}, that part of the
// path is the prefix of one environment. Handle returns an error only for wrong arguments of [New]; everything else is
// in the response.
func (h *Handler) Handle(
	ctx context.Context, e events.APIGatewayV2HTTPRequest,
) (events.APIGatewayV2HTTPResponse, error) {
	a := h.handle(ctx, hook{
		prefix: eventPrefix(e), id: e.RequestContext.RequestID,
		method: e.RequestContext.HTTP.Method, from: e.RequestContext.HTTP.SourceIP,
		signatures: headerValues(e.Headers, SignatureHeader),
		body:       func() ([]byte, error) { return eventBody(e) },
	})
	headers := map[string]string{"content-type": "text/plain; charset=utf-8"}
	if a.status == http.StatusMethodNotAllowed {
		headers["allow"] = http.MethodPost
	}
	return events.APIGatewayV2HTTPResponse{StatusCode: a.status, Headers: headers, Body: a.text + "\n"}, h.err
}

// eventPrefix returns the prefix in the path, without a slash at its end. An HTTP API decodes the path except for an
// encoded percent sign, so eventPrefix decodes that.
func eventPrefix(e events.APIGatewayV2HTTPRequest) string {
	return strings.TrimSuffix(strings.ReplaceAll(e.PathParameters["proxy"], "%25", "%"), "/")
}

// eventBody returns the body's exact bytes, which API Gateway may deliver in base64.
func eventBody(e events.APIGatewayV2HTTPRequest) ([]byte, error) {
	if !e.IsBase64Encoded {
		if len(e.Body) > maxBody {
			return nil, errTooLarge
		}
		return []byte(e.Body), nil
	}
	// DecodedLen counts padding, which is up to two bytes.
	if base64.StdEncoding.DecodedLen(len(e.Body)) > maxBody+2 {
		return nil, errTooLarge
	}
	body, err := base64.StdEncoding.DecodeString(e.Body)
	if err != nil {
		return nil, &answer{http.StatusBadRequest, "isBase64Encoded is set, but the body is not valid base64", err}
	}
	return body, nil
}

// headerValues returns the values of a header and ignores the case of its name. API Gateway writes names in lower case;
// the caller of a function URL may not.
func headerValues(headers map[string]string, name string) []string {
	var values []string
	for k, v := range headers {
		if strings.EqualFold(k, name) {
			values = append(values, v)
		}
	}
	return values
}

// ServeHTTP serves net/http. With a pattern such as "POST /webhook/{proxy...}" of [http.ServeMux], that part of the
// path is the prefix of one environment.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := h.handle(r.Context(), hook{
		prefix: strings.TrimSuffix(r.PathValue("proxy"), "/"),
		method: r.Method, from: r.RemoteAddr, signatures: r.Header.Values(SignatureHeader),
		body: func() ([]byte, error) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
			var tooLarge *http.MaxBytesError
			switch {
			case errors.As(err, &tooLarge):
				return nil, errTooLarge
			case err != nil:
				return nil, &answer{http.StatusBadRequest, "the body ended early", err}
			}
			return body, nil
		},
	})
	if a.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.text+"\n") // on failure the sender has disconnected, and the request is queued anyway
}

// errTooLarge is the answer to a body larger than maxBody. It must not be changed.
var errTooLarge = &answer{http.StatusRequestEntityTooLarge, "the body is larger than 5 MiB", nil}
