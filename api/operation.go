package api

import (
	"net/http"
	"time"
)

// operation describes a route to clients: the OpenAPI document is made of it, and nothing else is said of a route anywhere.
type operation struct {
	id, summary string
	parameters  []parameter   // besides those in the path
	body        any           // of the type of the request's body; nil where there is none
	needed      bool          // the body is
	media       []string      // kinds of body that are taken
	status      int           // of an answer that is no problem
	answer      any           // of its type
	problems    []int         // statuses besides those that any such route may answer
	waits       bool          // for a change, where it is asked with index
	located     bool          // the answer says where what was made is
	revised     bool          // the answer says of which revision it is
	patience    time.Duration // with what it does, where that is more than with others
}

// parameter is something that a request may say besides its path and body.
type parameter struct {
	name, in, kind, meaning string // kind is that of JSON
}

// about begins the description of a route.
func about(id, summary string) operation { return operation{id: id, summary: summary} }

// takes says what the body is, in JSON.
func (o operation) takes(body any) operation {
	o.body, o.needed, o.media = body, true, []string{jsonMedia}
	return o
}

// mayTake says what the body is if there is one.
func (o operation) mayTake(body any) operation {
	o = o.takes(body)
	o.needed = false
	return o
}

// alsoAs says in which other form the body may come.
func (o operation) alsoAs(media string) operation {
	o.media = append(o.media, media)
	return o
}

// gives says what the answer is.
func (o operation) gives(answer any) operation {
	o.status, o.answer = http.StatusOK, answer
	return o
}

// as changes the status of the answer.
func (o operation) as(status int) operation {
	o.status = status
	return o
}

// saysWhere says that the answer has a Location.
func (o operation) saysWhere() operation {
	o.located = true
	return o
}

// saysRevision says that the answer has an ETag.
func (o operation) saysRevision() operation {
	o.revised = true
	return o
}

// patiently gives it more time than others.
func (o operation) patiently(d time.Duration) operation {
	o.patience = d
	return o
}

// only says in which form alone the body comes.
func (o operation) only(media string) operation {
	o.media = []string{media}
	return o
}

// inPages says that the answer is a page of what segments hold. What it begins after is the `continue` of the page before.
func (o operation) inPages() operation {
	return o.with("limit", "query", "integer", "At most so many.").
		with("continue", "query", "string", "Where the page begins: `continue` of the page before.")
}

// fails says which other statuses problems have.
func (o operation) fails(statuses ...int) operation {
	o.problems = append(o.problems, statuses...)
	return o
}

// with says of a parameter.
func (o operation) with(name, in, kind, meaning string) operation {
	o.parameters = append(o.parameters, parameter{name, in, kind, meaning})
	return o
}

// paged says that the answer is a page of a list. What it begins after is the `next` of the page before.
func (o operation) paged(name, kind string) operation {
	return o.with("limit", "query", "integer", "At most so many, 1 to 1000.").
		with(name, "query", kind, "Where the page begins: `next` of the page before.")
}

// waiting says that the request can wait for a change.
func (o operation) waiting() operation {
	o.waits = true
	return o.with("index", "query", "integer", "Wait until there is something newer than an answer with this `index`.").
		with("wait", "query", "string", "How long at most, from 0s to 60s; 10s by default. Afterwards the answer is as it is.")
}
