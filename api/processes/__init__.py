"""The process group behind `foreact up`: a supervisor, a guard, and what registers the deployments with Prefect."""
