"""dbt: builds of the project, publishing, and its documentation."""
