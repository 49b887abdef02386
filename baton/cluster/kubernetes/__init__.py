"""Workers as pods of Deployments: how many there are is asked of Kubernetes, which runs them."""
